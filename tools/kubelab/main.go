// Command kubelab is the Kubernetes that tests run against: etcd and
// kube-apiserver in one program, from the modules the project publishes. Which
// of them it is says the name it is called by (a symbolic link), or else its
// first argument. scripts/kubernetes.sh builds and runs it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// programs are what this one can be, by the names they have elsewhere. Each
// gets its own name as os.Args[0] and returns an exit status.
var programs = map[string]func() int{
	"etcd": func() int {
		etcdmain.Main(os.Args) // ends the process itself where it fails
		return 0
	},
	"kube-apiserver": command(apiserver.NewAPIServerCommand),
}

// command runs a component as its own main function does.
func command(make func() *cobra.Command) func() int {
	return func() int { return cli.Run(make()) }
}

func main() {
	program := programs[filepath.Base(os.Args[0])]
	if program == nil && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		program = programs[os.Args[0]]
	}
	if program == nil {
		fmt.Fprintln(os.Stderr, "usage: kubelab etcd|kube-apiserver [option...]")
		os.Exit(2)
	}
	os.Exit(program())
}
