# Small things every system needs: random seed, loopback, host name, time zone.
msg "Initializing random seed..."
mkdir -p /var/lib
[ -r /var/lib/random-seed ] && cat /var/lib/random-seed >/dev/urandom
(umask 077 && head -c 512 /dev/urandom >/var/lib/random-seed)

msg "Setting up loopback interface..."
ip link set up dev lo

if [ -r /etc/hostname ]; then
	read -r HOSTNAME </etc/hostname
fi
if [ -n "$HOSTNAME" ]; then
	msg "Setting up hostname to '$HOSTNAME'..."
	printf '%s' "$HOSTNAME" >/proc/sys/kernel/hostname
else
	msg_warn "No hostname is set."
fi

if [ -n "$TIMEZONE" ]; then
	ln -sfn "/usr/share/zoneinfo/$TIMEZONE" /etc/localtime
fi
