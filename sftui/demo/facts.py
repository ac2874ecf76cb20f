"""The facts of the small world: plain tables, one `subject: answer` or list each, and nothing else.

Only what is settled and has one good answer is listed; countries whose capital or continent needs a
footnote are left out. `sftui.demo.world` turns the tables into questions and answers.
"""

from __future__ import annotations


def _pairs(text: str) -> dict[str, str]:
    """Read `subject: answer; subject: answer`, over any number of lines."""
    entries = (entry.strip() for entry in text.replace("\n", " ").split(";"))
    return {key.strip(): value.strip() for key, value in (entry.split(":") for entry in entries if entry)}


def _members(groups: dict[str, str]) -> dict[str, str]:
    """Turn `answer -> "subject, subject"` into `subject -> answer`."""
    return {
        name.strip(): answer
        for answer, names in groups.items()
        for name in names.replace("\n", " ").split(",")
    }


CAPITALS = _pairs("""
France: Paris; Germany: Berlin; Italy: Rome; Spain: Madrid; Portugal: Lisbon; Austria: Vienna;
Belgium: Brussels; Denmark: Copenhagen; Sweden: Stockholm; Norway: Oslo; Finland: Helsinki;
Iceland: Reykjavik; Ireland: Dublin; Poland: Warsaw; Hungary: Budapest; Romania: Bucharest;
Bulgaria: Sofia; Greece: Athens; Croatia: Zagreb; Slovenia: Ljubljana; Slovakia: Bratislava;
Serbia: Belgrade; Albania: Tirana; Estonia: Tallinn; Latvia: Riga; Lithuania: Vilnius;
Ukraine: Kyiv; Malta: Valletta; Turkey: Ankara; Russia: Moscow; Egypt: Cairo; Morocco: Rabat;
Algeria: Algiers; Tunisia: Tunis; Libya: Tripoli; Sudan: Khartoum; Ethiopia: Addis Ababa;
Kenya: Nairobi; Uganda: Kampala; Rwanda: Kigali; Ghana: Accra; Nigeria: Abuja; Senegal: Dakar;
Mali: Bamako; Niger: Niamey; Chad: N'Djamena; Cameroon: Yaoundé; Gabon: Libreville; Angola: Luanda;
Zambia: Lusaka; Zimbabwe: Harare; Namibia: Windhoek; Botswana: Gaborone; Mozambique: Maputo;
Madagascar: Antananarivo; Somalia: Mogadishu; Eritrea: Asmara; Togo: Lomé; Liberia: Monrovia;
Guinea: Conakry; China: Beijing; Japan: Tokyo; Mongolia: Ulaanbaatar; India: New Delhi;
Nepal: Kathmandu; Bhutan: Thimphu; Bangladesh: Dhaka; Pakistan: Islamabad; Afghanistan: Kabul;
Iran: Tehran; Iraq: Baghdad; Jordan: Amman; Lebanon: Beirut; Syria: Damascus; Kuwait: Kuwait City;
Qatar: Doha; Oman: Muscat; Thailand: Bangkok; Vietnam: Hanoi; Laos: Vientiane; Cambodia: Phnom Penh;
Uzbekistan: Tashkent; Kazakhstan: Astana; Armenia: Yerevan; Azerbaijan: Baku; Canada: Ottawa;
Mexico: Mexico City; Cuba: Havana; Jamaica: Kingston; Haiti: Port-au-Prince;
Guatemala: Guatemala City; Honduras: Tegucigalpa; Nicaragua: Managua; Panama: Panama City;
Colombia: Bogotá; Venezuela: Caracas; Ecuador: Quito; Peru: Lima; Chile: Santiago;
Argentina: Buenos Aires; Uruguay: Montevideo; Paraguay: Asuncion; Brazil: Brasília;
Guyana: Georgetown; Suriname: Paramaribo; Australia: Canberra; New Zealand: Wellington; Fiji: Suva;
Samoa: Apia; Tonga: Nuku'alofa; Vanuatu: Port Vila
""")

CONTINENTS = _members(
    {
        "Europe": """France, Germany, Italy, Spain, Portugal, Austria, Belgium, Denmark, Sweden, Norway,
            Finland, Iceland, Ireland, Poland, Hungary, Romania, Bulgaria, Greece, Croatia,
            Slovenia, Slovakia, Serbia, Albania, Estonia, Latvia, Lithuania, Ukraine, Switzerland,
            Malta""",
        "Africa": """Morocco, Algeria, Tunisia, Libya, Sudan, Ethiopia, Kenya, Uganda, Rwanda, Ghana,
            Nigeria, Senegal, Mali, Niger, Chad, Cameroon, Gabon, Angola, Zambia, Zimbabwe, Namibia,
            Botswana, Mozambique, Madagascar, Somalia, Eritrea, Togo, Liberia, Guinea""",
        "Asia": """China, Japan, Mongolia, India, Nepal, Bhutan, Bangladesh, Pakistan, Afghanistan, Iran,
            Iraq, Jordan, Lebanon, Syria, Kuwait, Qatar, Oman, Yemen, Thailand, Vietnam, Laos,
            Cambodia, Uzbekistan""",
        "North America": "Canada, Mexico, Cuba, Jamaica, Haiti, Guatemala, Honduras, Nicaragua, Panama",
        "South America": """Colombia, Venezuela, Ecuador, Peru, Chile, Argentina, Uruguay, Paraguay, Brazil,
            Guyana, Suriname""",
        "Oceania": "Australia, New Zealand, Fiji, Samoa, Tonga, Vanuatu",
    }
)

SOUNDS = _pairs("""
cow: moo; dog: woof; cat: meow; sheep: baa; pig: oink; duck: quack; rooster: cock-a-doodle-doo;
hen: cluck; horse: neigh; donkey: hee-haw; lion: roar; wolf: howl; frog: ribbit; bee: buzz;
snake: hiss; owl: hoot; mouse: squeak; crow: caw; turkey: gobble; chick: cheep; pigeon: coo;
cricket: chirp
""")

YOUNG = _pairs("""
dog: puppy; cat: kitten; cow: calf; horse: foal; sheep: lamb; goat: kid; pig: piglet;
duck: duckling; goose: gosling; swan: cygnet; hen: chick; deer: fawn; lion: cub; kangaroo: joey;
frog: tadpole; butterfly: caterpillar; eagle: eaglet; owl: owlet; hare: leveret; eel: elver;
wolf: pup; human: infant; whale: calf; bear: cub; fox: kit; penguin: chick; seal: pup;
elephant: calf; tiger: cub; koala: joey; giraffe: calf; donkey: foal
""")

LEGS = _members(
    {
        "0": "snake, fish, snail, worm, whale, dolphin, shark, eel",
        "2": "duck, hen, goose, owl, eagle, penguin, ostrich, parrot, human, sparrow, swan, crow",
        "4": """dog, cat, cow, horse, sheep, goat, pig, lion, tiger, bear, wolf, fox, mouse, rabbit,
            elephant, giraffe, camel, deer, frog, lizard, tortoise, donkey""",
        "6": "bee, ant, beetle, butterfly, fly, wasp, mosquito, grasshopper, ladybird, moth",
        "8": "spider, scorpion, tick, mite, tarantula",
        "10": "crab, lobster, shrimp",
    }
)

KINDS = _members(
    {
        "mammal": """dog, cat, cow, horse, sheep, goat, pig, lion, tiger, bear, wolf, fox, mouse, rabbit,
            elephant, giraffe, camel, deer, whale, dolphin, bat, monkey, kangaroo, koala, seal,
            otter, hedgehog, zebra""",
        "bird": """duck, hen, goose, owl, eagle, penguin, ostrich, parrot, sparrow, swan, crow, pigeon,
            robin, gull, stork, turkey, woodpecker, falcon, flamingo, peacock""",
        "fish": "salmon, trout, tuna, cod, herring, shark, eel, carp, sardine, goldfish, pike, mackerel",
        "insect": """bee, ant, beetle, butterfly, fly, wasp, mosquito, grasshopper, ladybird, moth, cricket,
            dragonfly""",
        "reptile": "snake, lizard, tortoise, crocodile, gecko, chameleon, iguana, alligator, cobra, python",
        "amphibian": "frog, toad, newt, salamander",
    }
)

COLOURS = _pairs("""
grass: green; snow: white; coal: black; blood: red; milk: white; a lemon: yellow;
a ripe banana: yellow; a ripe tomato: red; a carrot: orange; a cucumber: green; a strawberry: red;
a blueberry: blue; chocolate: brown; an emerald: green; a ruby: red; a sapphire: blue; gold: yellow;
silver: grey; a raven: black; a polar bear: white; a flamingo: pink; a canary: yellow;
an elephant: grey; spinach: green; an aubergine: purple; a pumpkin: orange; a cherry: red;
lavender: purple; salt: white; soot: black; broccoli: green; a swan: white; a lime: green;
a daffodil: yellow; butter: yellow; a pea: green; flour: white; mud: brown; a plum: purple;
a fire engine: red; the clear sky: blue; coffee: brown; an egg yolk: yellow; ash: grey
""")

OPPOSITES = _pairs("""
hot: cold; big: small; tall: short; fast: slow; old: young; up: down; left: right; day: night;
black: white; open: closed; full: empty; wet: dry; hard: soft; happy: sad; light: dark; early: late;
rich: poor; strong: weak; high: low; near: far; inside: outside; loud: quiet; clean: dirty;
good: bad; thick: thin; wide: narrow; deep: shallow; sharp: blunt; rough: smooth; sweet: sour;
first: last; always: never; true: false; yes: no; begin: end; buy: sell; give: take; push: pull;
win: lose; love: hate; laugh: cry; come: go; arrive: depart; above: below; before: after;
front: back; top: bottom; north: south; east: west; summer: winter; friend: enemy; war: peace;
life: death; question: answer; cheap: expensive; safe: dangerous; easy: difficult; brave: cowardly;
polite: rude; awake: asleep; alive: dead; same: different; more: less; many: few; public: private;
ancient: modern; simple: complex; guilty: innocent; success: failure; victory: defeat;
remember: forget; accept: refuse; build: destroy; increase: decrease; arrival: departure;
entrance: exit; male: female; odd: even; positive: negative; include: exclude; maximum: minimum;
visible: hidden; tight: loose; straight: crooked; generous: selfish; healthy: ill; float: sink
""")

PLURALS = _pairs("""
mouse: mice; child: children; foot: feet; tooth: teeth; goose: geese; man: men; woman: women;
ox: oxen; person: people; leaf: leaves; knife: knives; wife: wives; life: lives; wolf: wolves;
half: halves; shelf: shelves; thief: thieves; loaf: loaves; calf: calves; scarf: scarves;
sheep: sheep; deer: deer; fish: fish; cactus: cacti; crisis: crises; oasis: oases;
analysis: analyses; city: cities; baby: babies; lady: ladies; berry: berries; cherry: cherries;
story: stories; country: countries; family: families; army: armies; puppy: puppies; pony: ponies;
fly: flies; party: parties; box: boxes; fox: foxes; bus: buses; glass: glasses; dish: dishes;
brush: brushes; church: churches; watch: watches; beach: beaches; peach: peaches; bench: benches;
witch: witches; tomato: tomatoes; potato: potatoes; hero: heroes; echo: echoes; photo: photos;
piano: pianos; radio: radios; cat: cats; dog: dogs; book: books; tree: trees; car: cars;
house: houses; day: days; boy: boys; key: keys; toy: toys; monkey: monkeys; apple: apples;
table: tables; chair: chairs; bird: birds; river: rivers; cloud: clouds; song: songs;
letter: letters; number: numbers; star: stars
""")

VERBS = _pairs("""
go: went; see: saw; eat: ate; drink: drank; run: ran; swim: swam; sing: sang; write: wrote;
read: read; speak: spoke; take: took; give: gave; come: came; buy: bought; bring: brought;
think: thought; teach: taught; catch: caught; find: found; fly: flew; know: knew; grow: grew;
throw: threw; draw: drew; begin: began; break: broke; choose: chose; drive: drove; ride: rode;
rise: rose; fall: fell; feel: felt; keep: kept; sleep: slept; leave: left; meet: met; make: made;
say: said; tell: told; sell: sold; stand: stood; understand: understood; sit: sat; win: won;
lose: lost; pay: paid; build: built; send: sent; spend: spent; lend: lent; bend: bent; hear: heard;
hold: held; put: put; cut: cut; hit: hit; shut: shut; let: let; hurt: hurt; cost: cost; wear: wore;
tear: tore; steal: stole; freeze: froze; forget: forgot; get: got; hide: hid; bite: bit;
shake: shook; wake: woke; blow: blew; become: became; fight: fought; seek: sought; dig: dug;
hang: hung; stick: stuck; shoot: shot; light: lit; lead: led; feed: fed; bleed: bled; walk: walked;
talk: talked; play: played; jump: jumped; cook: cooked; open: opened; help: helped; ask: asked
""")

ELEMENTS = _pairs("""
hydrogen: H; helium: He; lithium: Li; beryllium: Be; boron: B; carbon: C; nitrogen: N; oxygen: O;
fluorine: F; neon: Ne; sodium: Na; magnesium: Mg; aluminium: Al; silicon: Si; phosphorus: P;
sulphur: S; chlorine: Cl; argon: Ar; potassium: K; calcium: Ca; titanium: Ti; chromium: Cr;
manganese: Mn; iron: Fe; cobalt: Co; nickel: Ni; copper: Cu; zinc: Zn; gallium: Ga; arsenic: As;
bromine: Br; krypton: Kr; silver: Ag; cadmium: Cd; tin: Sn; iodine: I; xenon: Xe; barium: Ba;
tungsten: W; platinum: Pt; gold: Au; mercury: Hg; lead: Pb; bismuth: Bi; radon: Rn; radium: Ra;
uranium: U; plutonium: Pu
""")

FRENCH = _pairs("""
water: eau; bread: pain; milk: lait; wine: vin; apple: pomme; house: maison; street: rue;
city: ville; tree: arbre; flower: fleur; sun: soleil; moon: lune; star: étoile; sea: mer;
river: rivière; mountain: montagne; dog: chien; cat: chat; horse: cheval; bird: oiseau;
fish: poisson; man: homme; woman: femme; child: enfant; friend: ami; mother: mère; father: père;
brother: frère; sister: sœur; book: livre; table: table; chair: chaise; door: porte;
window: fenêtre; key: clé; hand: main; head: tête; eye: œil; heart: cœur; day: jour; night: nuit;
week: semaine; month: mois; year: année; red: rouge; green: vert; blue: bleu; black: noir;
white: blanc; yellow: jaune; one: un; two: deux; three: trois; four: quatre; five: cinq; six: six;
seven: sept; eight: huit; nine: neuf; ten: dix
""")

SPANISH = _pairs("""
water: agua; bread: pan; milk: leche; wine: vino; apple: manzana; house: casa; street: calle;
city: ciudad; tree: árbol; flower: flor; sun: sol; moon: luna; star: estrella; sea: mar; river: río;
mountain: montaña; dog: perro; cat: gato; horse: caballo; bird: pájaro; man: hombre; woman: mujer;
child: niño; friend: amigo; mother: madre; father: padre; brother: hermano; sister: hermana;
book: libro; table: mesa; chair: silla; door: puerta; window: ventana; key: llave; hand: mano;
head: cabeza; eye: ojo; heart: corazón; day: día; night: noche; week: semana; month: mes; year: año;
red: rojo; green: verde; blue: azul; black: negro; white: blanco; yellow: amarillo; one: uno;
two: dos; three: tres; four: cuatro; five: cinco; six: seis; seven: siete; eight: ocho; nine: nueve;
ten: diez
""")

BOOKS = _pairs("""
Hamlet: William Shakespeare; Macbeth: William Shakespeare; Emma: Jane Austen;
Pride and Prejudice: Jane Austen; Oliver Twist: Charles Dickens;
Great Expectations: Charles Dickens; Dracula: Bram Stoker; Frankenstein: Mary Shelley;
Jane Eyre: Charlotte Brontë; Wuthering Heights: Emily Brontë; Middlemarch: George Eliot;
Ulysses: James Joyce; Moby-Dick: Herman Melville; Walden: Henry David Thoreau;
Little Women: Louisa May Alcott; Don Quixote: Miguel de Cervantes;
Faust: Johann Wolfgang von Goethe; War and Peace: Leo Tolstoy; Anna Karenina: Leo Tolstoy;
Robinson Crusoe: Daniel Defoe; Crime and Punishment: Fyodor Dostoevsky;
The Idiot: Fyodor Dostoevsky; Les Misérables: Victor Hugo; Candide: Voltaire;
Madame Bovary: Gustave Flaubert; Germinal: Émile Zola; Treasure Island: Robert Louis Stevenson;
Peter Pan: J. M. Barrie; The Time Machine: H. G. Wells; The Invisible Man: H. G. Wells;
Heart of Darkness: Joseph Conrad; Paradise Lost: John Milton; Heidi: Johanna Spyri;
Pinocchio: Carlo Collodi; The Trial: Franz Kafka; The Seagull: Anton Chekhov;
The Jungle Book: Rudyard Kipling; The Metamorphosis: Franz Kafka; The Odyssey: Homer;
The Iliad: Homer
""")

SIDES = _pairs("""
triangle: 3; square: 4; rectangle: 4; rhombus: 4; trapezium: 4; pentagon: 5; hexagon: 6;
heptagon: 7; octagon: 8; nonagon: 9; decagon: 10; dodecagon: 12
""")

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spelled(number: int) -> str:
    """A whole number from 0 to 99 in words."""
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = _TENS[number // 10 - 2], number % 10
    return f"{tens}-{_ONES[ones]}" if ones else tens
