# Swap partitions of /etc/fstab.
swapon -a 2>/dev/null
