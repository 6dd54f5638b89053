// Package inspect looks inside a model: what each layer would predict, which parts write a prediction, and what becomes
// of it when they are moved.
package inspect
