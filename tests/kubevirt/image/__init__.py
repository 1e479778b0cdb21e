"""The image of KubeVirt's programs: what `hack/kubevirt` puts into it beside what KubeVirt itself provides."""
