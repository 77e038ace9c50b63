// Package gate holds what is to be done to the rules of a project: policies, budgets
// and what things cost, and the overrides that let something pass which a rule is
// against. A [Case] says where something is to be done, and for whom.
//
// Plans pass it on the way to a run ([Case.Gate]), and what has no plan passes it as
// well ([Case.Pass]). What is not known yet when a plan is judged is judged again while
// it is carried out, by guards of the engine.
package gate
