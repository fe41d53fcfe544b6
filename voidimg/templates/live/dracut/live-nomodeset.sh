#!/bin/sh
# Without mode setting (nomodeset) there is no screen for a display manager: it stays down.
: "${VOID_LIVE:=/usr/lib/void-live}"
(
. "$VOID_LIVE/lib.sh"

for service in lightdm sddm gdm lxdm; do
    down="$NEWROOT/etc/sv/$service/down"
    if getargbool 0 nomodeset; then
        [ ! -d "${down%/*}" ] || [ -e "$down" ] || echo 'void-live: nomodeset' | write "$down"
    elif has_line "$down" 'void-live: nomodeset'; then
        # An earlier start of this medium put it there.
        rm -f "$down"
    fi
done
)
