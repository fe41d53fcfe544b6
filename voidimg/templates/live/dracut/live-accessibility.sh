#!/bin/sh
# Speech and braille on the console: live.accessibility.
: "${VOID_LIVE:=/usr/lib/void-live}"
(
. "$VOID_LIVE/lib.sh"

if getargbool 0 live.accessibility; then
    enable_service espeakup
    enable_service brltty
fi
)
