# The keys of the console.
if [ -n "$KEYMAP" ]; then
	msg "Setting up keymap to '$KEYMAP'..."
	loadkeys -q -u "$KEYMAP"
fi
