#!/bin/sh
# Language and keyboard: locale.LANG= and vconsole.keymap=. The keymap of the console is also the
# first layout of X, so that passwords are typed on the same keys everywhere.
#
# Both words are in every entry of the menu: one that says what the profile says asks for nothing.
: "${VOID_LIVE:=/usr/lib/void-live}"
(
. "$VOID_LIVE/lib.sh"

NEW=
! is_new locale || NEW=1

# has_locale NAME: whether the system can speak it. musl takes any name.
has_locale() {
    local name=$1
    case "$name" in C | POSIX | C.UTF-8 | C.utf8) return 0 ;; esac
    is_file /etc/default/libc-locales || return 0
    case "$name" in *.utf8) name=${name%.utf8}.UTF-8 ;; esac
    line_of /etc/default/libc-locales "$name " || is_directory "/usr/lib/locale/$1"
}

language=$(getarg locale.LANG=) || language=
case "$language" in
    '') ;;
    [!A-Za-z]* | *[!A-Za-z0-9_.@-]*)
        note "locale.LANG=$(plain "$language") is no locale; the language is $LIVE_LOCALE"
        language=
        ;;
    *)
        if ! has_locale "$language"; then
            note "the locale $language was not generated; the language is $LIVE_LOCALE"
            language=
        fi
        ;;
esac
if [ -n "$language" ]; then
    asked=
    [ "$language" = "$LIVE_LOCALE" ] || is_of_menu "locale.LANG=$language" || asked=1
    keep /etc/locale.conf '' LANG= "LANG=$language" "$asked"
    keep /etc/locale.conf '' LC_COLLATE= LC_COLLATE=C "$asked"
fi

# has_keymap NAME: whether the console has it; without any keymap it takes none.
has_keymap() {
    local top found
    is_directory /usr/share/kbd/keymaps || return 0
    top=$REPLY
    for found in "$top"/*/"$1".map* "$top"/*/*/"$1".map* "$top"/*/*/*/"$1".map*; do
        [ ! -e "$found" ] || return 0
    done
    return 1
}

keymap=$(getarg vconsole.keymap=) || keymap=
case "$keymap" in
    '') keymap=$LIVE_KEYMAP ;;
    [!A-Za-z0-9]* | *[!A-Za-z0-9_.+-]*)
        note "vconsole.keymap=$(plain "$keymap") is no keymap; the keymap is $LIVE_KEYMAP"
        keymap=$LIVE_KEYMAP
        ;;
    *)
        if ! has_keymap "$keymap"; then
            note "the console has no keymap $keymap; the keymap is $LIVE_KEYMAP"
            keymap=$LIVE_KEYMAP
        fi
        ;;
esac
asked=
[ "$keymap" = "$LIVE_KEYMAP" ] || is_of_menu "vconsole.keymap=$keymap" || asked=1
conf=/etc/rc.conf
! is_file /etc/vconsole.conf || conf=/etc/vconsole.conf
keep "$conf" '' KEYMAP= "KEYMAP=$keymap" "$asked"
remember 'set-up locale' 1

# Only graphical systems have the file.
conf=/etc/X11/xorg.conf.d/00-keyboard.conf
is_file "$conf" || exit 0

# A keymap of another script has `us` first, as it has on the console: names and passwords are typed
# in Latin letters.
first=
while read -r name found; do
    [ "$name" != "$keymap" ] || first=$found
done < "$VOID_LIVE/keymaps"
[ -n "$first" ] || warn "no layout of X is known for the keymap $keymap"

layouts= variants= seen=' ' count=0
for layout in $first $LIVE_LAYOUTS; do
    # X has room for four, and none is to come twice.
    [ "$count" -lt 4 ] || break
    case "$seen" in *" $layout "*) continue ;; esac
    seen="$seen$layout "
    variant=
    case "$layout" in
        *'('*)
            variant=${layout#*'('}
            variant=${variant%')'}
            ;;
    esac
    layouts="$layouts${layouts:+,}${layout%%'('*}"
    [ "$count" -eq 0 ] || variants="$variants,"
    variants="$variants$variant"
    count=$((count + 1))
done

# keyboard LAYOUTS VARIANTS: the file that says so.
keyboard() {
    cat << CONF
# The layouts that the greeter and the session offer; the first is in force.
Section "InputClass"
	Identifier "keyboard layouts"
	MatchIsKeyboard "on"
	Option "XkbLayout" "$1"
	Option "XkbVariant" "$2"
	Option "XkbOptions" "$LIVE_OPTIONS"
EndSection
CONF
}

if [ -z "$NEW$asked" ]; then
    recall keyboard || exit 0
    earlier=$(keyboard "${REPLY% *}" "${REPLY#* }")
    is_file "$conf" && [ "$(cat "$REPLY")" = "$earlier" ] || exit 0
fi
write "$conf" "$(keyboard "$layouts" "$variants")$LF"
remember keyboard "$layouts $variants"
)
