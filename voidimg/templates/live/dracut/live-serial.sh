#!/bin/sh
# A login on every serial console that console= names, each at its own speed.
: "${VOID_LIVE:=/usr/lib/void-live}"
: "${VOID_LIVE_CONSOLES:=/sys/class/tty/console/active}"
(
. "$VOID_LIVE/lib.sh"

# Speech and braille, which come later, are enabled again there.
take_back_services

consoles=$(getargs console=)
# Without the word the kernel takes the port that firmware names: machines without a screen have one.
if [ -z "$consoles" ] && [ -r "$VOID_LIVE_CONSOLES" ]; then
    read -r consoles < "$VOID_LIVE_CONSOLES"
fi
for console in $consoles; do
    tty=${console%%,*}
    case "$tty" in
        *[!A-Za-z0-9]*) continue ;;
        tty[A-Z]*[0-9] | hvc[0-9]* | hvsi[0-9]* | xvc[0-9]*) ;;
        *) continue ;;
    esac
    service="$NEWROOT/etc/sv/agetty-$tty"
    # runit-void has services for the usual ports; the others are made like them.
    if [ ! -d "$service" ] && [ -d "$NEWROOT/etc/sv/agetty-generic" ]; then
        mkdir -p "$service"
        ln -sfn ../agetty-generic/run "$service/run"
        ln -sfn ../agetty-generic/finish "$service/finish"
        ln -sfn "/run/runit/supervise.agetty-$tty" "$service/supervise"
        printf 'GETTY_ARGS="-L"\nTERM_NAME=vt100\n' | write "$service/conf"
    fi
    case "$console" in
        *,[0-9]*)
            speed=${console#*,}
            speed=${speed%%[!0-9]*}
            [ ! -d "$service" ] || set_line "$service/conf" BAUD_RATE= "BAUD_RATE=$speed"
            ;;
    esac
    enable_service "agetty-$tty"
done
)
