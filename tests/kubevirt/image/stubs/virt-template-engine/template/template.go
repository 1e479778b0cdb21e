// Package template stands in for kubevirt.io/virt-template-engine, which is not among Go's modules. `virtctl template
// process` calls it, which no test does: it has to compile, and every call says that it is not there.
package template

import (
	"errors"

	"k8s.io/apimachinery/pkg/util/validation/field"

	virtv1 "kubevirt.io/api/core/v1"
	"kubevirt.io/virt-template-api/core/v1beta1"
)

var errAbsent = errors.New("this build of KubeVirt has no virt-template")

type Processor struct{}

func MergeParameters([]v1beta1.Parameter, map[string]string) ([]v1beta1.Parameter, error) {
	return nil, errAbsent
}

func ValidateParameterReferences(*v1beta1.VirtualMachineTemplate) ([]string, field.ErrorList) {
	return nil, field.ErrorList{field.InternalError(nil, errAbsent)}
}

func GetDefaultProcessor() Processor { return Processor{} }

func (Processor) Process(*v1beta1.VirtualMachineTemplate) (*virtv1.VirtualMachine, string, error) {
	return nil, "", errAbsent
}
