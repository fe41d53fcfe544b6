# Modules somebody asked for by name.
for file in /etc/modules-load.d/*.conf /usr/lib/modules-load.d/*.conf; do
	[ -r "$file" ] || continue
	while read -r module; do
		case "$module" in
		'' | \#* | \;*) ;;
		*) modprobe -b "$module" ;;
		esac
	done <"$file"
done
