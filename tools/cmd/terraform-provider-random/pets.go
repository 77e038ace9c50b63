package main

import (
	"math/rand"
	"strings"
)

// petName makes a name of some words: adverbs, then an adjective, then an animal.
func petName(source *rand.Rand, length int, separator string) string {
	pick := func(list string) string {
		words := strings.Fields(list)
		return words[source.Intn(len(words))]
	}
	words := make([]string, 0, max(length, 1))
	for range length - 2 {
		words = append(words, pick(adverbs))
	}
	if length > 1 {
		words = append(words, pick(adjectives))
	}
	return strings.Join(append(words, pick(animals)), separator)
}

const (
	adverbs = `barely boldly briefly brightly calmly clearly closely daily deeply early easily evenly
		firmly freely gently gladly hardly highly jointly kindly largely lately lightly loosely mainly
		mildly mostly neatly newly nicely oddly openly partly plainly promptly purely quickly quietly
		rarely really rightly safely sharply shortly simply slowly softly solely steadily strongly
		suddenly surely sweetly swiftly truly usually vastly warmly weekly widely wisely yearly`
	adjectives = `able agile amber apt awake bold brave brief bright brisk calm careful cheery clean
		clever cosy curious daring deep eager early easy fair fancy fast fine firm fond free fresh
		gentle glad golden good grand happy hardy helpful honest humble jolly keen kind large light
		lively loyal lucky merry mild modest neat nimble noble open patient plain polite prime proud
		quick quiet rapid ready robust royal safe sharp silent simple smart smooth snug solid sound
		stable steady still strong sunny sure sweet swift tame tidy trusty vital warm wise witty`
	animals = `adder alpaca ant ape badger bass bat bear beaver bee beetle bison boar bobcat buck bull
		bunny calf camel cat chamois chough cobra cod colt condor cow crab crane cricket crow deer dingo
		dodo dog dolphin donkey dove drake duck eagle eel elf emu falcon fawn ferret finch fish fox frog
		gecko gibbon goat goose gull hare hawk hen heron horse hound ibex ibis jackal jay kite kiwi koala
		lamb lark lemur lion lizard llama lynx marmot marten mole moose moth mouse mule newt orca osprey
		otter owl ox panda perch pig pika pony puffin pug puma quail rabbit ram raven ray robin rook
		salmon seal shark sheep shrew shrimp skink sloth snail snipe sole squid stag starling stork swan
		tapir tern thrush tiger toad trout tuna turtle viper vole walrus wasp weasel whale wolf wombat wren yak zebra`
)
