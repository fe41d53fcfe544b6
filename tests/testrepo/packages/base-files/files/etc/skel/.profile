# What the login shells other than bash read.
