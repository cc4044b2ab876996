package main

const setnsNumber = 268

// There is no such instruction on this processor.
func leaveProcessorQuestionsAlone() error { return nil }
