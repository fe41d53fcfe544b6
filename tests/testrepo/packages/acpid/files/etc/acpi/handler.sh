#!/bin/sh
# The power button stops the system; everything else is left alone.
case "$1" in
button/power) poweroff ;;
esac
