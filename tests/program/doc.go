// Package program finds the dfs program that tests with real processes run: the one that the environment names, or one
// built for them.
package program
