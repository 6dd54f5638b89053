// Package printable turns texts and numbers into characters that are safe to print on one line, measures and cuts them
// in columns, and gathers lines for a terminal.
package printable
