package actions

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What a killed process left is removed, what living ones have is not.
func TestFoldersOfDeadProcessesAreRemoved(t *testing.T) {
	const child = "TUTTI_TEST_SCRATCH"
	if os.Getenv(child) != "" {
		path, err := scratch.take()
		fmt.Println(path, err)
		select {} // until it is killed
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	spawn := func() (string, func()) {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		kill := func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		t.Cleanup(kill)
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatal("the child says nothing")
		}
		var path, problem string
		if _, err := fmt.Sscan(lines.Text(), &path, &problem); err != nil || problem != "<nil>" {
			t.Fatal(lines.Text(), err)
		}
		return path, kill
	}
	living, _ := spawn()
	dead, kill := spawn()
	kill()
	if _, err := os.Stat(dead); err != nil {
		t.Fatal("a killed process cannot have removed it:", err)
	}
	var own scratchFolders
	first, err := own.take()
	if err != nil {
		t.Fatal(err)
	}
	second, err := own.take()
	if err != nil || filepath.Dir(first) != filepath.Dir(second) || first == second {
		t.Fatal(first, second, err)
	}
	if _, err := os.Stat(filepath.Dir(dead)); !os.IsNotExist(err) {
		t.Error("of a dead process:", err)
	}
	sweepScratch(temporary)
	for _, path := range []string{living, first, second} {
		if _, err := os.Stat(path); err != nil {
			t.Error("of a living process:", err)
		}
	}
	own.giveBack(first)
	if _, err := os.Stat(second); err != nil {
		t.Error(err)
	}
	own.giveBack(second)
	if _, err := os.Stat(filepath.Dir(second)); !os.IsNotExist(err) {
		t.Error("when nobody needs it any more:", err)
	}
}
