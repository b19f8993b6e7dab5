package cloudwatch

// What is sealed, by the purpose that its Sealer is told.
const (
	sealCommand  = "cloudwatch/command"
	sealManifest = "cloudwatch/manifest"
	sealSegment  = "cloudwatch/segment"
)
