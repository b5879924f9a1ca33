// Keeper holds something for as long as it lives. With no argument it is a pod's sandbox, or the first process of the
// cluster's namespaces: it prints the number by which its starter's /proc knows it, and waits. With a command it runs that
// command, which the kernel kills when the keeper dies.
//
// With TIDEGATE_KEEP=stdin it ends when its standard input does. The starter holds the other end, so whatever ends the
// starter, a SIGKILL too, ends the keeper and with it everything that it holds.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
	if os.Getenv("TIDEGATE_KEEP") == "stdin" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			told <- syscall.SIGTERM
		}()
	}
	if len(os.Args) > 1 {
		os.Exit(run(os.Args[1:], told))
	}
	if pid, err := os.Readlink("/proc/self"); err == nil {
		fmt.Println(pid)
	}
	go reap()
	<-told
}

// run starts the command and returns its exit code, or 1 when the keeper was told to end.
func run(command []string, told <-chan os.Signal) int {
	// The kernel sends the signal when the starting thread ends, not the process: this thread must stay.
	runtime.LockOSThread()
	child := exec.Command(command[0], command[1:]...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ended := make(chan struct{})
	go func() {
		_ = child.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return child.ProcessState.ExitCode()
	case <-told:
		return 1
	}
}

// reap collects the dead children of others: the first process of a process namespace inherits them.
func reap() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	for range died {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}
