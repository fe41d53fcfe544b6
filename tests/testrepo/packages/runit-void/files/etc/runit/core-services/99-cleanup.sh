# What an earlier run may have left behind.
install -m 0664 -g utmp /dev/null /run/utmp
[ -e /var/log/wtmp ] || install -m 0664 -g utmp /dev/null /var/log/wtmp
[ -e /var/log/btmp ] || install -m 0600 -g utmp /dev/null /var/log/btmp
rm -f /etc/nologin /forcefsck /fastboot
install -d -m 1777 /tmp/.X11-unix /tmp/.ICE-unix
