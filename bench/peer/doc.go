// Package peer is what bench compares the project with: the same work as a KubeVirt developer would have done it in Go,
// in the way of KubeVirt's own pair. The launcher makes one unary call for each change, over one connection for each VM,
// to a socket that the handler has made in the pod's directory; the handler keeps the newest value of each VMI, queues
// the VMI's key, and writes the status with client-go, at KubeVirt's own limits for virt-handler.
//
// It is meant to be good: it sends twelve bytes where KubeVirt's notifier sends a domain as JSON, it patches where
// virt-handler puts whole objects, it decodes of a VMI only what it needs, and what is written already is not written
// again. It is used by bench alone, and lacks what bench does not measure: authentication, leases, resynchronisation.
package peer
