#!/bin/sh
# A login on every serial console that console= names, each at its own speed.
: "${VOID_LIVE:=/usr/lib/void-live}"
: "${VOID_LIVE_CONSOLES:=/sys/class/tty/console/active}"
(
. "$VOID_LIVE/lib.sh"

# Speech and braille, which come later, are enabled again there.
take_back_services
# A login that the owner of this root disabled stays so for as long as the command line does not change.
! getargbool 0 live.setup || forget 'ports off'
recall 'ports off' || :
off=$REPLY$REMOVED
still_off=' '

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
    service="/etc/sv/agetty-$tty"
    case "$off" in
        *" agetty-$tty "*)
            still_off="${still_off}agetty-$tty "
            continue
            ;;
    esac
    # runit-void has services for the usual ports; the others are made like them.
    if ! is_directory "$service" && is_directory /etc/sv/agetty-generic; then
        beneath "$service" || continue
        real=$REPLY
        mkdir -p "$real"
        ln -sfn ../agetty-generic/run "$real/run"
        ln -sfn ../agetty-generic/finish "$real/finish"
        ln -sfn "/run/runit/supervise.agetty-$tty" "$real/supervise"
        write "$service/conf" "GETTY_ARGS=\"-L\"${LF}TERM_NAME=vt100$LF"
    fi
    case "$console" in
        *,[0-9]*)
            speed=${console#*,}
            speed="BAUD_RATE=${speed%%[!0-9]*}"
            # Another speed than at the last start is asked for by whoever typed it.
            asked=1
            ! recall "kept $service/conf  BAUD_RATE=" || [ "$REPLY" != "$speed" ] || asked=
            ! is_directory "$service" || keep "$service/conf" '' BAUD_RATE= "$speed" "$asked"
            ;;
    esac
    enable_service "agetty-$tty"
done
if [ "$still_off" != ' ' ]; then
    remember 'ports off' "$still_off"
else
    forget 'ports off'
fi
)
