# Kernel settings.
for file in /usr/lib/sysctl.d/*.conf /etc/sysctl.d/*.conf /etc/sysctl.conf; do
	[ -r "$file" ] && sysctl -q -p "$file"
done
