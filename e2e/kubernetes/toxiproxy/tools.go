//go:build tools

// Package tools names the proxy that the network faults of e2e/faults are made with.
package tools

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
