# What the hooks of the live system share. POSIX shell with `local`; sourced, never run.
#
# Paths are those of the new root, and every one of them is looked up as the new root will look it up:
# a link there leads nowhere else. The medium may keep changes: a root is set up once, and what its
# owner changed since stays as it is, unless a word on the command line asks for something else.

command -v getarg > /dev/null || . /lib/dracut-lib.sh
# LIVE_USER, LIVE_PASSWORD (a hash), LIVE_GROUPS, LIVE_SUDO, LIVE_POLKIT, LIVE_AUTOLOGIN,
# LIVE_SESSION, LIVE_HOSTNAME, LIVE_KEYMAP, LIVE_LOCALE, LIVE_LAYOUTS, LIVE_OPTIONS, LIVE_CMDLINE: what
# the profile says.
. "$VOID_LIVE/live.conf"

RUN_LEVEL=/etc/runit/runsvdir/default
ENABLED=/var/lib/void-live/enabled
# What the hooks have done to this root, a fact a line: NAME, a tab, VALUE.
FACTS=/var/lib/void-live/facts
ISSUE=/etc/issue
TAB='	'
LF='
'

# What a function finds it leaves in REPLY: a subshell for each would make starts slow.

# beneath PATH: where PATH of the new root is on this system. Links are followed as in the new root.
beneath() {
    local rest=$1 real= name left=16
    while [ -n "$rest" ]; do
        name=${rest%%/*}
        case "$rest" in
            */*) rest=${rest#*/} ;;
            *) rest= ;;
        esac
        case "$name" in
            '' | .) continue ;;
            ..)
                real=${real%/*}
                continue
                ;;
        esac
        if [ ! -L "$NEWROOT$real/$name" ]; then
            real=$real/$name
            continue
        fi
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        name=$(readlink "$NEWROOT$real/$name") || return 1
        case "$name" in /*) real= ;; esac
        rest=$name/$rest
    done
    REPLY=$NEWROOT$real
}

# file PATH: the same, of what is a regular file or is not there.
file() {
    beneath "$1" && { [ -f "$REPLY" ] || [ ! -e "$REPLY" ]; }
}

is_directory() {
    beneath "$1" && [ -d "$REPLY" ]
}

is_file() {
    beneath "$1" && [ -f "$REPLY" ]
}

# plain TEXT: TEXT without what a terminal, a shell or getty would take for more than letters.
plain() {
    local rest=$1 letter out=
    while [ -n "$rest" ] && [ "${#out}" -lt 64 ]; do
        letter=${rest%"${rest#?}"}
        rest=${rest#?}
        case "$letter" in
            [A-Za-z0-9_./:,@=+-]) out=$out$letter ;;
            *) out="$out?" ;;
        esac
    done
    printf '%s\n' "$out"
}

# note TEXT: says on the console, and above the login, what is not as it was asked for.
note() {
    warn "$1"
    file "$ISSUE" || return 0
    [ -d "${REPLY%/*}" ] || mkdir -p "${REPLY%/*}"
    printf 'Not as asked: %s\n' "$1" >> "$REPLY"
}

# write PATH TEXT [MODE]: the file gets TEXT as its content; its directory is made.
write() {
    file "$1" || { warn "$1 is no file that can be written"; return 1; }
    [ -d "${REPLY%/*}" ] || mkdir -p "${REPLY%/*}"
    # Into the file that is there, which keeps its owner and mode, unless the mode is ours to say.
    if [ -z "$3" ]; then
        printf '%s' "$2" > "$REPLY"
        return
    fi
    rm -f "$REPLY.void-live"
    printf '%s' "$2" > "$REPLY.void-live"
    chmod "$3" "$REPLY.void-live"
    mv -f "$REPLY.void-live" "$REPLY"
}

# discard PATH: it is not there any more. Of a link, the link goes.
discard() {
    beneath "${1%/*}" && rm -f "$REPLY/${1##*/}"
}

# line_of PATH START: the first line that begins with START, if there is one.
line_of() {
    local line
    is_file "$1" || return 1
    while IFS= read -r line || [ -n "$line" ]; do
        case "$line" in "$2"*) REPLY=$line; return 0 ;; esac
    done < "$REPLY"
    return 1
}

# set_line PATH START [LINE]: the line that begins with START, or #START, becomes LINE; else LINE is
# added at the end. Without LINE, those that begin with START go.
set_line() {
    local line text= done= changed=
    file "$1" || { warn "$1 is no file that can be written"; return 1; }
    [ -n "$3" ] || done=1
    if [ -f "$REPLY" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            case "$line" in
                "$2"*)
                    [ -z "$done" ] || { changed=1; continue; }
                    [ "$line" = "$3" ] || changed=1
                    done=1 line=$3
                    ;;
                "#$2"*) [ -n "$done" ] || { done=1 changed=1 line=$3; } ;;
            esac
            text=$text$line$LF
        done < "$REPLY"
    fi
    [ -n "$done" ] || { changed=1 text=$text$3$LF; }
    [ -z "$changed" ] || write "$1" "$text"
}

# key_of PATH SECTION KEY: the line KEY=VALUE in [SECTION] of the file.
key_of() {
    local line inside=
    is_file "$1" || return 1
    while IFS= read -r line || [ -n "$line" ]; do
        case "$line" in
            "[$2]") inside=1 ;;
            '['*) inside= ;;
            "$3="* | "$3 ="*) [ -z "$inside" ] || { REPLY=$line; return 0; } ;;
        esac
    done < "$REPLY"
    return 1
}

# set_key PATH SECTION KEY [LINE]: LINE is that of KEY in [SECTION] of the file; without LINE it goes.
set_key() {
    local line text= inside= done= changed=
    file "$1" || { warn "$1 is no file that can be written"; return 1; }
    [ -n "$4" ] || done=1
    if [ -f "$REPLY" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            case "$line" in
                '['*)
                    [ -z "$inside" ] || [ -n "$done" ] || { done=1 changed=1 text=$text$4$LF; }
                    inside=
                    [ "$line" != "[$2]" ] || inside=1
                    ;;
                "$3="* | "$3 ="*)
                    if [ -n "$inside" ]; then
                        [ -z "$done" ] || { changed=1; continue; }
                        [ "$line" = "$4" ] || changed=1
                        done=1 line=$4
                    fi
                    ;;
            esac
            text=$text$line$LF
        done < "$REPLY"
    fi
    if [ -z "$done" ]; then
        [ -n "$inside" ] || text="$text[$2]$LF"
        changed=1 text=$text$4$LF
    fi
    [ -z "$changed" ] || write "$1" "$text"
}

# recall NAME: the value of that fact; false, and nothing, when there is none.
recall() {
    if line_of "$FACTS" "$1$TAB"; then REPLY=${REPLY#*"$TAB"}; else REPLY=; return 1; fi
}

remember() {
    is_file "$FACTS" || write "$FACTS" '' 0600
    set_line "$FACTS" "$1$TAB" "$1$TAB$2"
}

forget() {
    set_line "$FACTS" "$1$TAB"
}

# is_new HOOK: whether this root was never set up by HOOK, or live.setup asks for it once more.
is_new() {
    ! recall "set-up $1" || getargbool 0 live.setup
}

# now PATH SECTION KEY, put PATH SECTION KEY LINE: the line of KEY, in a file with sections or without.
now() {
    if [ -n "$2" ]; then key_of "$1" "$2" "$3"; else line_of "$1" "$3"; fi || REPLY=
}

put() {
    if [ -n "$2" ]; then set_key "$1" "$2" "$3" "$4"; else set_line "$1" "$3" "$4"; fi
}

# keep PATH SECTION KEY LINE ASKED: LINE, which is there for good. Where NEW is not set, only over what
# an earlier start left, or where a word on the command line (ASKED) says so.
keep() {
    local fact="kept $1 $2 $3" before
    if [ -z "$NEW$5" ]; then
        now "$1" "$2" "$3"
        before=$REPLY
        recall "$fact" || :
        [ "$before" = "$REPLY" ] || return 0
    fi
    put "$1" "$2" "$3" "$4"
    remember "$fact" "$4"
}

# lend PATH SECTION KEY LINE: LINE, for this start; without LINE none is there. What was there before
# comes back with the next start that does not lend it.
lend() {
    local fact="lent $1 $2 $3" before
    now "$1" "$2" "$3"
    before=$REPLY
    [ "$before" != "$4" ] || return 0
    recall "$fact" && [ "$before" = "$REPLY" ] || remember "was $1 $2 $3" "$before"
    put "$1" "$2" "$3" "$4"
    remember "$fact" "$4"
}

# take_back PATH SECTION KEY: what an earlier start lent is gone, unless its owner changed it since.
take_back() {
    local fact="lent $1 $2 $3" lent
    recall "$fact" || return 0
    lent=$REPLY
    now "$1" "$2" "$3"
    if [ "$REPLY" = "$lent" ]; then
        recall "was $1 $2 $3" || :
        put "$1" "$2" "$3" "$REPLY"
    fi
    forget "$fact"
    forget "was $1 $2 $3"
}

# is_taken NAME: whether an account or a group of the system has the name. The accounts of people, who
# have numbers from 1000 on, are no such thing on a root that was set up before, and nor is the live
# user of an earlier live system, which wrote no facts.
is_taken() {
    local number
    if ! line_of /etc/passwd "$1:"; then
        line_of /etc/group "$1:"
        return
    fi
    number=${REPLY#*:*:}
    number=${number%%:*}
    ! recall "made $1" || return 1
    recall 'set-up user' || [ "$1" = "$LIVE_USER" ] || return 0
    case "$number" in '' | *[!0-9]*) return 0 ;; esac
    [ "$number" -lt 1000 ] || [ "$number" -ge 65534 ]
}

# why_no_user NAME: what keeps NAME from being the live user; false when nothing does.
why_no_user() {
    case "$1" in
        [!a-z_]* | *[!a-z0-9_-]*) REPLY='is no name of a user' ;;
        ?????????????????????????????????*) REPLY='has more than 32 characters' ;;
        *) is_taken "$1" && REPLY='is a name that the system has already' ;;
    esac
}

# is_of_menu WORD: whether the profile put it into every entry of the menu: nobody asks for it then.
is_of_menu() {
    case " $LIVE_CMDLINE " in *" $1 "*) return 0 ;; esac
    return 1
}

# asked_user: the name that live.user= says, if it can be the live user.
asked_user() {
    local name
    name=$(getarg live.user=) && [ -n "$name" ] || return 1
    if is_of_menu "live.user=$name" && ! is_new user; then
        return 1
    fi
    ! why_no_user "$name" || return 1
    REPLY=$name
}

# live_user: the name of the live user: that of live.user=, if it can be one; else the one that this
# root was set up with, if it is still there; else the profile's. False: there is none.
live_user() {
    local name
    asked_user && return
    if recall user && ! getargbool 0 live.setup; then
        name=$REPLY
        line_of /etc/passwd "$name:" || return 1
    else
        name=$LIVE_USER
        ! is_taken "$name" || return 1
    fi
    REPLY=$name
}

# enable_service NAME: runit starts it, if the system has it. What was not enabled already is written
# down, for take_back_services.
enable_service() {
    is_directory "/etc/sv/$1" && beneath "$RUN_LEVEL" || return 0
    [ ! -L "$REPLY/$1" ] || return 0
    [ -d "$REPLY" ] || mkdir -p "$REPLY"
    ln -sn "/etc/sv/$1" "$REPLY/$1"
    set_line "$ENABLED" "$1" "$1"
}

# take_back_services: what an earlier start enabled, and nobody else, is enabled no more. REMOVED are
# the names of those that its owner disabled since.
take_back_services() {
    local name level
    REMOVED=' '
    beneath "$RUN_LEVEL" && level=$REPLY && is_file "$ENABLED" || return 0
    while IFS= read -r name; do
        [ -L "$level/${name##*/}" ] || REMOVED="$REMOVED${name##*/} "
        rm -f "$level/${name##*/}"
    done < "$REPLY"
    discard "$ENABLED"
}
