package main

import (
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// notify has signals told, but for those that whoever started the run has it ignore, as nohup does.
func notify(told chan<- os.Signal, signals ...os.Signal) {
	for _, sig := range signals {
		if !signal.Ignored(sig) {
			signal.Notify(told, sig)
		}
	}
}

// stop stops the process as Control-Z does, and returns when it goes on: at once if there is no shell to let it go on. Once it was
// asked for, the runtime does not give back SIGTSTP; SIGTTOU does the same.
func stop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGTTOU) // this thread is stopped before it is back
}

// dieOf ends the process as the signal does where it is not asked for.
func dieOf(sig unix.Signal) {
	signal.Reset(sig)
	_ = unix.Kill(os.Getpid(), sig)
	select {}
}
