#!/bin/sh
# Tells the display manager its session, and whether it logs the live user in: live.autologin, or the
# profile. live.autologin=0 shows the greeter in any case.
: "${VOID_LIVE:=/usr/lib/void-live}"
(
. "$VOID_LIVE/lib.sh"

NEW=
! is_new display-manager || NEW=1
user=
! live_user || user=$REPLY
session=$LIVE_SESSION
! line_of /etc/lightdm/.session '' || session=${REPLY:-$session}

# What the command line says comes before what the profile says, which counts once.
autologin=unasked
if getarg live.autologin > /dev/null; then
    autologin=no
    ! getargbool 0 live.autologin || autologin=yes
elif [ "$LIVE_AUTOLOGIN" = 1 ] && [ -n "$NEW" ]; then
    autologin=first
fi
# Nobody can be logged in who is not there.
[ -n "$user" ] || autologin=no

# key PATH SECTION KEY VALUE: set for autologin, and as it was before without.
key() {
    case "$autologin" in
        yes) lend "$1" "$2" "$3" "$3=$4" ;;
        first) keep "$1" "$2" "$3" "$3=$4" ;;
        no) lend "$1" "$2" "$3" ;;
        *) take_back "$1" "$2" "$3" ;;
    esac
}

if is_directory /etc/sv/lightdm; then
    conf=/etc/lightdm/lightdm.conf
    [ -z "$session" ] || keep "$conf" 'Seat:*' user-session "user-session=$session"
    key "$conf" 'Seat:*' autologin-user "$user"
    key "$conf" 'Seat:*' autologin-user-timeout 0
    key "$conf" 'Seat:*' autologin-session "$session"
fi
if is_directory /etc/sv/sddm; then
    key /etc/sddm.conf Autologin User "$user"
    key /etc/sddm.conf Autologin Session "$session"
fi
if is_directory /etc/sv/gdm; then
    key /etc/gdm/custom.conf daemon AutomaticLoginEnable true
    key /etc/gdm/custom.conf daemon AutomaticLogin "$user"
fi
if is_directory /etc/sv/lxdm; then
    key /etc/lxdm/lxdm.conf base autologin "$user"
fi
remember 'set-up display-manager' 1
)
