"""The commands with an ordinary command line, one file each: arguments in, print-outs out."""
