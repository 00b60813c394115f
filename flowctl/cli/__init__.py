"""The command line: click commands, one file per noun or group of verbs, imported when they are called."""
