"""The image of KubeVirt's programs: what hack/builds puts into it beside what KubeVirt itself provides."""
