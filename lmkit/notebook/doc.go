// Package notebook shows the pictures of package render in the cells of a Jupyter kernel for Go (GoNB).
//
//	why, err := lmkit.Explain(ctx, m, "the keys near the man behind the door", "integrated-gradients", "occlusion")
//	notebook.Show(why[0])         // tokens, bars and evidence
//	notebook.Waterfall(why[0])    // how the scores lead from the baseline to the input
//	notebook.Compare(why...)      // all methods side by side
//	notebook.Attention(ctx, m, "the keys near the man")
//	notebook.Show(plot.Curves{Title: "softmax", Lines: []plot.Line{{Points: points}}})
//
// Every output carries HTML, a PNG and plain text together: the reader's program takes what it can show. Nothing in it
// runs a script or fetches anything. Outside of a notebook the plain text goes to standard output.
//
// What cannot be shown appears as an error in its place, and is returned too, so that a cell need not look at it.
package notebook
