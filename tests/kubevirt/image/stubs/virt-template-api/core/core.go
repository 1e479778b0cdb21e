// Package core stands in for kubevirt.io/virt-template-api, which is not among Go's modules. KubeVirt names these types
// from 1.9 on. No VM template exists where it runs without virt-template, as an admin may choose: it has to compile.
package core

const (
	GroupName                   = "template.kubevirt.io"
	SingularResourceName        = "virtualmachinetemplate"
	PluralResourceName          = "virtualmachinetemplates"
	SingularRequestResourceName = "virtualmachinetemplaterequest"
)
