"""Starting, following and ending training processes on the devices of this machine."""
