# Devices and the modules for them.
msg "Starting udev and waiting for devices to settle..."
udevd --daemon
udevadm trigger --action=add --type=subsystems
udevadm trigger --action=add --type=devices
udevadm settle --timeout=60
