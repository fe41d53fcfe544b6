#!/bin/sh
# Makes the live user, and what it may do: live.user=, live.shell=, live.autologin.
: "${VOID_LIVE:=/usr/lib/void-live}"
(
. "$VOID_LIVE/lib.sh"

user=$(live_user)
shell=$(getarg live.shell=) || shell=
if [ -n "$shell" ] && { [ -d "$NEWROOT$shell" ] || [ ! -x "$NEWROOT$shell" ]; }; then
    warn "live.shell=$shell is no program of the live system"
    shell=
fi
if [ -z "$shell" ]; then
    shell=/bin/sh
    [ ! -x "$NEWROOT/bin/bash" ] || shell=/bin/bash
fi
has_line "$NEWROOT/etc/shells" "$shell" || set_line "$NEWROOT/etc/shells" "$shell" "$shell"

echo void-live | write "$NEWROOT/etc/hostname"
# Nobody else can say who this is: sudo asks at every use.
set_line "$NEWROOT/etc/hosts" 127.0.1.1 '127.0.1.1 void-live'
set_line "$NEWROOT/etc/default/live.conf" USERNAME= "USERNAME=$user"

if ! has_line "$NEWROOT/etc/passwd" "$user:"; then
    groups=
    for group in $LIVE_GROUPS; do
        ! has_line "$NEWROOT/etc/group" "$group:" || groups="$groups${groups:+,}$group"
    done
    chroot "$NEWROOT" useradd -m -c "$user" -s "$shell" ${groups:+-G "$groups"} \
        ${LIVE_PASSWORD:+-p "$LIVE_PASSWORD"} "$user" || warn "cannot make the live user $user"
fi

sudoers="$NEWROOT/etc/sudoers.d/99-void-live"
case "$LIVE_SUDO" in
    passwordless) echo '%wheel ALL=(ALL:ALL) NOPASSWD: ALL' | write "$sudoers" 0440 ;;
    password) echo '%wheel ALL=(ALL:ALL) ALL' | write "$sudoers" 0440 ;;
    *) rm -f "$sudoers" ;;
esac

rules="$NEWROOT/etc/polkit-1/rules.d/99-void-live.rules"
if [ "$LIVE_POLKIT" = 1 ] && [ -d "$NEWROOT/etc/polkit-1" ]; then
    write "$rules" << 'RULES'
polkit.addRule(function (action, subject) {
    if (subject.isInGroup("wheel")) {
        return polkit.Result.YES;
    }
});
RULES
    # The directory is closed to all but polkitd.
    chroot "$NEWROOT" chown polkitd:polkitd /etc/polkit-1/rules.d/99-void-live.rules
else
    rm -f "$rules"
fi

getty="$NEWROOT/etc/sv/agetty-tty1/conf"
if getargbool 0 live.autologin; then
    [ ! -d "${getty%/*}" ] \
        || set_line "$getty" GETTY_ARGS= "GETTY_ARGS=\"--noclear -a $user\" # live.autologin"
elif has_line "$getty" 'GETTY_ARGS="--noclear -a '; then
    set_line "$getty" GETTY_ARGS= 'GETTY_ARGS="--noclear"'
fi
)
