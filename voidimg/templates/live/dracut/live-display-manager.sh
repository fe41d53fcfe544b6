#!/bin/sh
# Tells the display manager its session, and whether it logs the live user in: live.autologin, or the
# profile. live.autologin=0 shows the greeter in any case.
: "${VOID_LIVE:=/usr/lib/void-live}"
(
. "$VOID_LIVE/lib.sh"

user=$(live_user)
session=$LIVE_SESSION
[ ! -s "$NEWROOT/etc/lightdm/.session" ] || read -r session < "$NEWROOT/etc/lightdm/.session"
autologin=
! getargbool "${LIVE_AUTOLOGIN:-0}" live.autologin || autologin=1

# key FILE SECTION KEY VALUE: set for autologin, taken out without.
key() {
    if [ -n "$autologin" ]; then
        set_key "$1" "$2" "$3" "$4"
    else
        set_key "$1" "$2" "$3"
    fi
}

if [ -d "$NEWROOT/etc/sv/lightdm" ]; then
    file="$NEWROOT/etc/lightdm/lightdm.conf"
    [ -z "$session" ] || set_key "$file" 'Seat:*' user-session "$session"
    key "$file" 'Seat:*' autologin-user "$user"
    key "$file" 'Seat:*' autologin-user-timeout 0
    key "$file" 'Seat:*' autologin-session "$session"
fi
if [ -d "$NEWROOT/etc/sv/sddm" ]; then
    file="$NEWROOT/etc/sddm.conf"
    key "$file" Autologin User "$user"
    key "$file" Autologin Session "$session"
fi
if [ -d "$NEWROOT/etc/sv/gdm" ]; then
    file="$NEWROOT/etc/gdm/custom.conf"
    key "$file" daemon AutomaticLoginEnable true
    key "$file" daemon AutomaticLogin "$user"
fi
if [ -d "$NEWROOT/etc/sv/lxdm" ]; then
    key "$NEWROOT/etc/lxdm/lxdm.conf" base autologin "$user"
fi
)
