# The root filesystem becomes writable, then come the others.
msg "Checking and mounting filesystems..."
if ! grep -qw fastboot /proc/cmdline; then
	fsck -A -T -a -t noopts=_netdev >/dev/null 2>&1
	[ $? -gt 3 ] && emergency_shell
fi
mount -o remount,rw / || emergency_shell
mount -a -t "nosysfs,nonfs,nonfs4,nosmbfs,nocifs" -O no_netdev || emergency_shell
