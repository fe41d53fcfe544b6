#!/bin/sh
# Makes the live user, and what it may do: live.user=, live.shell=, live.autologin.
: "${VOID_LIVE:=/usr/lib/void-live}"
(
. "$VOID_LIVE/lib.sh"

NEW=
! is_new user || NEW=1
# What an earlier start had to say.
set_line "$ISSUE" 'Not as asked: '

word=$(getarg live.user=) || word=
asked= user=
! asked_user || asked=$REPLY
! live_user || user=$REPLY
if [ -n "$word" ] && why_no_user "$word"; then
    note "live.user=$(plain "$word") $REPLY; the user is ${user:-nobody}"
elif [ -z "$user" ] && [ -n "$NEW" ]; then
    note "$LIVE_USER is a name that the system has already: there is no live user"
fi

# make_account: the account of the live user, with its shell and groups.
make_account() {
    local shell groups= group real
    shell=$(getarg live.shell=) || shell=
    case "$shell" in
        '') ;;
        [!/]* | *[!A-Za-z0-9_./+-]*) real= ;;
        *) real=$shell ;;
    esac
    if [ -n "$shell" ] && { ! is_file "${real:-/}" || [ ! -x "$REPLY" ]; }; then
        note "live.shell=$(plain "$shell") is no program of the live system"
        shell=
    fi
    if [ -z "$shell" ]; then
        shell=/bin/sh
        ! is_file /bin/bash || [ ! -x "$REPLY" ] || shell=/bin/bash
    fi
    line_of /etc/shells "$shell" || set_line /etc/shells "$shell" "$shell"
    for group in $LIVE_GROUPS; do
        ! line_of /etc/group "$group:" || groups="$groups${groups:+,}$group"
    done
    chroot "$NEWROOT" useradd -m -c "$user" -s "$shell" ${groups:+-G "$groups"} \
        ${LIVE_PASSWORD:+-p "$LIVE_PASSWORD"} "$user" && line_of /etc/passwd "$user:" \
        || note "the account $user cannot be made"
    remember "made $user" 1
}

# It is made once: its owner may have removed or renamed it since.
if [ -n "$user" ] && [ -n "$NEW$asked" ]; then
    line_of /etc/passwd "$user:" || make_account
    remember user "$user"
fi
[ -z "$user" ] || keep /etc/default/live.conf '' USERNAME= "USERNAME=$user" "$asked"

if [ -n "$NEW" ]; then
    name=
    ! line_of /etc/hostname '' || name=$REPLY
    if [ -z "$name" ]; then
        name=$LIVE_HOSTNAME
        write /etc/hostname "$name$LF"
    fi
    # Nobody else can say who this is: sudo asks at every use.
    set_line /etc/hosts 127.0.1.1 "127.0.1.1 $name"

    # The names are those that Void's installer removes from what it installs.
    sudoers=/etc/sudoers.d/99-void-live
    case "$LIVE_SUDO" in
        passwordless) write "$sudoers" "%wheel ALL=(ALL:ALL) NOPASSWD: ALL$LF" 0440 ;;
        password) write "$sudoers" "%wheel ALL=(ALL:ALL) ALL$LF" 0440 ;;
    esac
    rules=/etc/polkit-1/rules.d/void-live.rules
    if [ "$LIVE_POLKIT" = 1 ] && is_directory /etc/polkit-1; then
        write "$rules" 'polkit.addRule(function (action, subject) {
    if (subject.isInGroup("wheel")) {
        return polkit.Result.YES;
    }
});
'
        # The directory is closed to all but polkitd.
        chroot "$NEWROOT" chown polkitd:polkitd "$rules"
    fi
fi

# The console's login: one that stays is its owner's, this one lasts for as long as it is asked for.
getty=/etc/sv/agetty-tty1/conf
if ! is_directory "${getty%/*}"; then
    :
elif [ -n "$user" ] && getargbool 0 live.autologin; then
    lend "$getty" '' GETTY_ARGS= "GETTY_ARGS=\"--noclear -a $user\" # live.autologin"
else
    take_back "$getty" '' GETTY_ARGS=
fi

# The issue names the user, and the passwords for as long as they are these.
secret_of() {
    line_of /etc/shadow "$1:" || return 1
    REPLY=${REPLY#*:}
    REPLY=${REPLY%%:*}
}

start='The user is "'
line=
! line_of "$ISSUE" "$start" || line=$REPLY
# It is the system's own to say, unless its owner wrote another.
[ -n "$NEW$asked" ] || { recall issue && [ "$line" = "$REPLY" ]; } || line=
if [ -n "$line" ]; then
    if [ -n "$NEW" ]; then
        remember 'issue as built' "$line"
    else
        recall 'issue as built' && line=$REPLY
    fi
    # Without the name, what follows is about the password.
    line="$start$user\"${line#"$start"*\"}"
    ! secret_of "$user" || [ "$REPLY" = "$LIVE_PASSWORD" ] || line="$start$user\"."
    [ -n "$user" ] || line=
    set_line "$ISSUE" "$start" "$line"
    remember issue "$line"
fi
if [ -n "$NEW" ]; then
    ! secret_of root || remember 'secret of root' "$REPLY"
elif recall 'secret of root'; then
    secret=$REPLY
    secret_of root && [ "$REPLY" = "$secret" ] || set_line "$ISSUE" 'The password of root is "'
fi
remember 'set-up user' 1
)
