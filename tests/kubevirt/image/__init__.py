"""The image of KubeVirt's programs: what hack/builds adds to the files of KubeVirt itself."""
