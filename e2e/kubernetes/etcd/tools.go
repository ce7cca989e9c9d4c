//go:build tools

// Package tools names the etcd server the local cluster is built from.
package tools

import _ "go.etcd.io/etcd/server/v3"
