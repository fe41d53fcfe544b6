#!/bin/sh
# Without mode setting (nomodeset) there is no screen for a display manager: it stays down.
: "${VOID_LIVE:=/usr/lib/void-live}"
(
. "$VOID_LIVE/lib.sh"

for service in lightdm sddm gdm lxdm; do
    down="/etc/sv/$service/down"
    if getargbool 0 nomodeset; then
        ! is_directory "${down%/*}" || is_file "$down" || write "$down" "void-live: nomodeset$LF"
    elif line_of "$down" 'void-live: nomodeset'; then
        # An earlier start of this medium put it there.
        discard "$down"
    fi
done
)
