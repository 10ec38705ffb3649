// Package crash cuts the power of real runs of the plugin and looks at what is left. It holds tests only.
package crash
