module github.com/rheostream/rheo

go 1.26.0

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	golang.org/x/sys v0.50.0
)
