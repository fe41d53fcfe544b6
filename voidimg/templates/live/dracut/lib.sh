# What the hooks of the live system share. POSIX shell with `local`; sourced, never run.
#
# The medium may be persistent: a hook that runs again on the same root leaves it as it is, and takes
# back what an earlier start put in and this one does not ask for.

command -v getarg > /dev/null || . /lib/dracut-lib.sh
# LIVE_USER, LIVE_PASSWORD (a hash), LIVE_GROUPS, LIVE_SUDO, LIVE_POLKIT, LIVE_AUTOLOGIN,
# LIVE_SESSION, LIVE_KEYMAP, LIVE_LAYOUTS, LIVE_OPTIONS: what the profile says.
. "$VOID_LIVE/live.conf"

RUN_LEVEL="$NEWROOT/etc/runit/runsvdir/default"
ENABLED="$NEWROOT/var/lib/void-live/enabled"

# The name of the live user: live.user=, if it can be one, else the profile's.
live_user() {
    local name
    name=$(getarg live.user=) || name=
    case "$name" in
        '') ;;
        [!a-z_]* | *[!a-z0-9_-]* | root) warn "live.user=$name is no name for the live user" ;;
        ?????????????????????????????????*) warn "live.user=$name has more than 32 characters" ;;
        *)
            echo "$name"
            return
            ;;
    esac
    echo "$LIVE_USER"
}

# write FILE [MODE]: FILE gets standard input as its content; its directory is made.
write() {
    mkdir -p "${1%/*}"
    cat > "$1.void-live"
    # Into the file that is there, which keeps its owner and mode, unless the mode is ours to say.
    if [ -z "$2" ] && [ -f "$1" ]; then
        cat "$1.void-live" > "$1"
        rm -f "$1.void-live"
    else
        mv "$1.void-live" "$1"
    fi
    [ -z "$2" ] || chmod "$2" "$1"
}

# set_line FILE START LINE: the line that begins with START, or #START, becomes LINE; else LINE is
# added at the end.
set_line() {
    local line done=
    {
        if [ -f "$1" ]; then
            while IFS= read -r line || [ -n "$line" ]; do
                case "$line" in
                    "$2"*)
                        [ -z "$done" ] || continue
                        done=1 line=$3
                        ;;
                    "#$2"*) [ -n "$done" ] || { done=1 line=$3; } ;;
                esac
                printf '%s\n' "$line"
            done < "$1"
        fi
        [ -n "$done" ] || printf '%s\n' "$3"
    } | write "$1"
}

# set_key FILE SECTION KEY [VALUE]: KEY=VALUE in [SECTION] of FILE; without VALUE the key goes.
set_key() {
    local line inside= done=
    [ -f "$1" ] || [ $# -eq 4 ] || return 0
    [ $# -eq 4 ] || done=1
    {
        if [ -f "$1" ]; then
            while IFS= read -r line || [ -n "$line" ]; do
                case "$line" in
                    '['*)
                        [ -z "$inside" ] || [ -n "$done" ] || { printf '%s=%s\n' "$3" "$4"; done=1; }
                        inside=
                        [ "$line" != "[$2]" ] || inside=1
                        ;;
                    "$3="* | "$3 ="*)
                        if [ -n "$inside" ]; then
                            [ -n "$done" ] || printf '%s=%s\n' "$3" "$4"
                            done=1
                            continue
                        fi
                        ;;
                esac
                printf '%s\n' "$line"
            done < "$1"
        fi
        if [ -z "$done" ]; then
            [ -n "$inside" ] || printf '[%s]\n' "$2"
            printf '%s=%s\n' "$3" "$4"
        fi
    } | write "$1"
}

# has_line FILE START: whether a line of FILE begins with START.
has_line() {
    local line
    [ -f "$1" ] || return 1
    while IFS= read -r line || [ -n "$line" ]; do
        case "$line" in "$2"*) return 0 ;; esac
    done < "$1"
    return 1
}

# enable_service NAME: runit starts it, if the system has it. What was not enabled already is written
# down, for take_back_services.
enable_service() {
    [ -d "$NEWROOT/etc/sv/$1" ] || return 0
    [ ! -L "$RUN_LEVEL/$1" ] || return 0
    mkdir -p "$RUN_LEVEL" "${ENABLED%/*}"
    ln -sn "/etc/sv/$1" "$RUN_LEVEL/$1"
    echo "$1" >> "$ENABLED"
}

# take_back_services: what an earlier start enabled, and nobody else, is enabled no more.
take_back_services() {
    local name
    [ -f "$ENABLED" ] || return 0
    while IFS= read -r name; do
        rm -f "$RUN_LEVEL/${name##*/}"
    done < "$ENABLED"
    rm -f "$ENABLED"
}
