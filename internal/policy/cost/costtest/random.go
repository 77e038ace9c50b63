// Package costtest makes up resources to price. Nothing but tests and benchmarks
// imports it.
package costtest

import (
	"fmt"
	"math/rand/v2"

	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/zclconf/go-cty/cty"
)

// Random makes up resources such as a large plan has, some of them with unknown attributes, some of types that no book has.
func Random(r *rand.Rand, n int) []cost.Instance {
	out := make([]cost.Instance, n)
	for i := range out {
		inst := &out[i]
		inst.Provider = "registry.terraform.io/hashicorp/aws"
		inst.Region = "us-east-1"
		inst.Type, inst.After = randomObject(r)
		inst.Address = fmt.Sprintf("module.m[%d].%s.r[%d]", i%17, inst.Type, i)
		inst.Action = "create"
		switch r.IntN(4) {
		case 0:
			inst.Action, inst.Before = "no-op", inst.After
		case 1:
			inst.Action = "delete"
			inst.Before, inst.After = inst.After, cty.NilVal
		case 2:
			inst.Action = "update"
			for typ := ""; typ != inst.Type; {
				typ, inst.Before = randomObject(r)
			}
		}
	}
	return out
}

func randomObject(r *rand.Rand) (string, cty.Value) {
	pick := func(list ...string) cty.Value { return cty.StringVal(list[r.IntN(len(list))]) }
	number := func(n int) cty.Value { return cty.NumberIntVal(int64(r.IntN(n))) }
	maybe := func(v cty.Value) cty.Value {
		if r.IntN(5) == 0 {
			return cty.UnknownVal(v.Type())
		}
		return v
	}
	switch r.IntN(6) {
	case 0:
		return "aws_instance", cty.ObjectVal(map[string]cty.Value{
			"instance_type": maybe(pick("t3.micro", "m5.24xlarge", "r7g.16xlarge", "x9.none")), "tenancy": maybe(cty.NullVal(cty.String)),
			"root_block_device": maybe(cty.TupleVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"volume_size": number(500), "volume_type": pick("gp3", "gp2")})})),
			"ebs_block_device":  cty.ListVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"volume_size": number(500), "volume_type": pick("gp3", "st1")})}),
		})
	case 1:
		return "aws_ebs_volume", cty.ObjectVal(map[string]cty.Value{"type": maybe(pick("gp3", "io2")), "size": maybe(number(900)), "iops": number(64000), "throughput": number(500)})
	case 2:
		return "aws_db_instance", cty.ObjectVal(map[string]cty.Value{
			"instance_class": maybe(pick("db.t3.micro", "db.r6g.12xlarge")), "engine": pick("postgres", "mysql"), "multi_az": maybe(cty.BoolVal(r.IntN(2) == 0)),
			"storage_type": pick("gp3", "gp2"), "allocated_storage": number(1000),
		})
	case 3:
		return "aws_security_group", cty.EmptyObjectVal
	case 4:
		return "aws_s3_bucket", cty.EmptyObjectVal
	}
	return "aws_something_new", cty.EmptyObjectVal
}
