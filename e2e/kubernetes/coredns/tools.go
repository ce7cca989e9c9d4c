//go:build tools

// Package tools names the DNS server the local cluster is built from.
package tools

import _ "github.com/coredns/coredns"
