package duckdb

import "golang.org/x/sys/unix"

// niceness of the query process: enough that what takes events comes first where both want the same processor.
const niceness = 10

// giveWay lowers the priority of a process that has just been started, and with it of the process group it leads. It is
// a courtesy: where it is not allowed, nothing is wrong.
func giveWay(pid int) { _ = unix.Setpriority(unix.PRIO_PGRP, pid, niceness) }
