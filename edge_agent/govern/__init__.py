"""Power, memory and heat → ``Level``. The only user of psutil and sysfs."""
