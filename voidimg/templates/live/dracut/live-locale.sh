#!/bin/sh
# Language and keyboard: locale.LANG= and vconsole.keymap=. The keymap of the console is also the
# first layout of X, so that passwords are typed on the same keys everywhere.
: "${VOID_LIVE:=/usr/lib/void-live}"
(
. "$VOID_LIVE/lib.sh"

language=$(getarg locale.LANG=) || language=
case "$language" in
    '') ;;
    *[!A-Za-z0-9_.@-]*) warn "locale.LANG=$language is no locale" ;;
    *)
        set_line "$NEWROOT/etc/locale.conf" LANG= "LANG=$language"
        set_line "$NEWROOT/etc/locale.conf" LC_COLLATE= LC_COLLATE=C
        ;;
esac

keymap=$(getarg vconsole.keymap=) || keymap=
case "$keymap" in
    '') keymap=$LIVE_KEYMAP ;;
    *[!A-Za-z0-9_.+-]*)
        warn "vconsole.keymap=$keymap is no keymap"
        keymap=$LIVE_KEYMAP
        ;;
esac
if [ -f "$NEWROOT/etc/vconsole.conf" ]; then
    set_line "$NEWROOT/etc/vconsole.conf" KEYMAP= "KEYMAP=$keymap"
else
    set_line "$NEWROOT/etc/rc.conf" KEYMAP= "KEYMAP=$keymap"
fi

# Only graphical systems have the file.
file="$NEWROOT/etc/X11/xorg.conf.d/00-keyboard.conf"
[ -f "$file" ] || exit 0

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
write "$file" << CONF
# The layouts that the greeter and the session offer; the first is in force.
Section "InputClass"
	Identifier "keyboard layouts"
	MatchIsKeyboard "on"
	Option "XkbLayout" "$layouts"
	Option "XkbVariant" "$variants"
	Option "XkbOptions" "$LIVE_OPTIONS"
EndSection
CONF
)
